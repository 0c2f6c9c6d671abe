# make demo       train, test and look at a small model on real digits (about 15 minutes on two CPU cores)
# make video-demo train and test C2D with and without the graph on drawn videos that only time can tell apart, or go on
#                 where it was stopped; all rows: make video-demo ROWS=all
# make test       format, lint, types and tests
# make bench      measure everything and write docs/performance.md; some of it: make bench ARGS="graph_stack streaming"
# make table1 MNIST=DIR  train and test all rows of the results table, or go on where it was stopped, and write
#                 docs/results.md; one row: make table1 MNIST=DIR ROW=all_temp; two trainings at a time: JOBS=2
# make notebooks  run the notebooks anew and keep their outputs; one: make notebooks NOTEBOOKS=notebooks/4_video_network.ipynb
# make docs       build the site of docs/ in build/docs, and stop at the first warning
# make venv       the environment they need, in .venv

PYTHON ?= python3.11
BIN := .venv/bin
TORCH := $(shell sed -n 's/^torch==//p' constraints.txt)
TORCH_SCATTER := $(shell sed -n 's/^torch-scatter==//p' constraints.txt)
# A torch-scatter build fits one version of torch alone, which pip's own wheel cache does not know.
WHEELS ?= $(HOME)/.cache/rstg-pyg/wheels/torch-$(TORCH)-$(notdir $(PYTHON))

# glibc hands freed tensors back to the system, and the page faults that follow slow training on CPUs: see the README.
export MALLOC_MMAP_THRESHOLD_ ?= 4294967296
export MALLOC_TRIM_THRESHOLD_ ?= 17179869184
export MALLOC_TOP_PAD_ ?= 268435456

.PHONY: demo video-demo test bench table1 notebooks docs venv lint

venv: .venv/installed

.venv/installed: constraints.txt setup.cfg pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet -c constraints.txt torch torchvision setuptools wheel ninja
	@test -n "$$(ls $(WHEELS)/torch_scatter-$(TORCH_SCATTER)-*.whl 2>/dev/null)" \
		|| { echo "Building torch-scatter for torch $(TORCH), once: about five minutes"; \
		$(BIN)/pip wheel --quiet --no-build-isolation --no-deps --no-cache-dir -w $(WHEELS) torch-scatter==$(TORCH_SCATTER); }
	$(BIN)/pip install --quiet --no-deps --no-index --find-links $(WHEELS) torch-scatter==$(TORCH_SCATTER)
	$(BIN)/pip install --quiet --no-build-isolation -c constraints.txt -e ".[app,mp4,explain,export,notebooks,test]"
	@touch $@

lint: venv
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses logical --maxprocesses 4 --dist loadfile

bench: venv
	$(BIN)/python -W ignore -m benchmarks $(or $(ARGS),all)

table1: venv
	$(BIN)/python -W ignore -m experiments $(ROW) $(if $(MNIST),--mnist $(MNIST)) --jobs $(or $(JOBS),1)

notebooks: venv
	PYTHONWARNINGS=ignore $(BIN)/python notebooks/execute.py $(or $(NOTEBOOKS),notebooks/*.ipynb)

.venv/installed-docs: .venv/installed
	$(BIN)/pip install --quiet --no-build-isolation -c constraints.txt -e ".[docs]"
	@touch $@

docs: .venv/installed-docs
	$(BIN)/python -W ignore -m sphinx --quiet --fail-on-warning --builder html docs build/docs
	@echo "See build/docs/index.html"

demo: venv
	@if [ -e runs/demo/checkpoints/last.ckpt ]; then \
		echo "Going on with runs/demo (remove that folder to begin anew)"; \
		$(BIN)/python main.py fit --config runs/demo/config.yaml --ckpt_path last; \
	else \
		rm -rf runs/demo; \
		$(BIN)/python main.py fit --config configs/demo.yaml; \
	fi
	$(BIN)/python main.py test --config runs/demo/config.yaml --ckpt_path best
	@echo "Now rstg-3syncmnist, which ships with the package: tested on the published moves of ±10, then on a clip of them"
	$(BIN)/python main.py test --config configs/demo.yaml --config configs/shipped/7_three_digits_longer.yaml \
		--data.source bundled --data.test_videos 2000 --ckpt_path rstg-3syncmnist --run_dir runs/demo/rstg-3syncmnist
	$(BIN)/python -m data.write_clip runs/demo/clip
	rm -f runs/demo/clip.mp4
	$(BIN)/python main.py stream --pretrained rstg-3syncmnist --source runs/demo/clip --frame_rate 5 --out runs/demo/clip.mp4
	@echo "See runs/demo/learning_curve.png, runs/demo/test/attention.png, runs/demo/clip.mp4, and tensorboard --logdir runs/demo"

video-demo: venv
	$(BIN)/python -W ignore -m experiments.video_demo $(ROWS)
