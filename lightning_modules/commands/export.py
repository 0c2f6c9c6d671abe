"""A classifier as a file for other programs."""

from pathlib import Path
from tempfile import TemporaryDirectory

from lightning_modules.trained_classifier import load_classifier
from rstg_pyg.export import export_program, largest_difference, load_program, write_program
from rstg_pyg.export.agreement import TOLERANCE
from rstg_pyg.export.files import Format, check_format
from rstg_pyg.export.programs import Part, random_clips


def export(format: Format, part: Part, out: Path, ckpt_path: Path | None = None, pretrained: str | None = None) -> None:
    """Write a classifier of whole clips, or its step from frame to frame, for programs without this package.

    The file is read back, and has to give the classifier's logits for random clips to 1e-4: with --part step after
    being driven over them frame by frame. It takes batches of any size.

    Args:
        format: exported_program is read by torch.export.load, onnx by ONNX Runtime and others, aot_inductor is machine
            code for processors like this one.
        part: With clip, clips of the model's number of frames in, logits out. With step, a frame and the state in,
            logits and the next state out; zeros are the state before the first frame.
        out: Where to write, .onnx for onnx and .pt2 otherwise; a file that is there is replaced by one that
            gave the logits.
        ckpt_path: Checkpoint of a video classifier that fit trained; this or pretrained.
        pretrained: A model that ships with the package, or a folder that save-pretrained wrote.

    Raises:
        ValueError: If an argument is none of its choices, or the model cannot be exported as that part.
        FileNotFoundError: If there is no such model.
        ImportError: If the format needs packages that are not there.
        RuntimeError: If the format needs a compiler that is not there, or the file gives other logits.
    """
    check_format(out, format)
    model = load_classifier(ckpt_path, pretrained)
    program = export_program(model, part)
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=out.parent) as folder:
        written = Path(folder, out.name)
        write_program(program, written, format)
        run = load_program(written, format)
        difference = max(largest_difference(run, model, part, random_clips(model, count)) for count in (1, 3))
        if not difference <= TOLERANCE:
            raise RuntimeError(
                f"Expected '{out}' to give the model's logits for random clips to {TOLERANCE:g} (got a difference of "
                f"{difference:.2g}): nothing was written"
            )
        written.replace(out)
    frames, *frame = random_clips(model, 1).shape[1:]
    taken = f"[batch, {', '.join(map(str, [frames, *frame] if part == 'clip' else frame))}]"
    driven = f", driven over {frames} frames from a state of zeros" if part == "step" else ""
    print(
        f"Wrote {out} ({out.stat().st_size / 2**20:.1f} MiB): takes {part if part == 'clip' else 'frame'} {taken}"
        f"{' and the state' if part == 'step' else ''}\n"
        f"Read back{driven}, it gives the model's logits for random clips: largest difference {difference:.1g}"
    )
