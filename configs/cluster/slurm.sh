#!/bin/sh
# Two nodes of four GPUs, one task a GPU, as Lightning wants it of SLURM:
# sbatch configs/cluster/slurm.sh --config configs/something_something/paper.yaml \
#   --config configs/something_something/i3d_to_map_res3_res4.yaml --config configs/cluster/ddp.yaml --data.root DIR
# Ninety seconds before its time is up Lightning writes a checkpoint and queues the job anew, which goes on in its folder.
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00
#SBATCH --signal=SIGUSR1@90
run=runs/slurm-$SLURM_JOB_ID
test -f "$run/checkpoints/last.ckpt" && set -- "$@" --ckpt_path last
srun python main.py fit "$@" --run_dir "$run" --trainer.devices 4
