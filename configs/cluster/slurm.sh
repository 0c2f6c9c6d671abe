#!/bin/sh
# Two nodes of four GPUs, one task a GPU, as Lightning wants it of SLURM:
# sbatch configs/cluster/slurm.sh --config configs/something_something/paper.yaml \
#   --config configs/something_something/i3d_to_map_res3_res4.yaml --config configs/cluster/ddp.yaml \
#   --data data.SomethingSomethingDataModule --data.root DIR --model.backbone_weights I3D_8x8_R50.pyth
# Ninety seconds before its time is up Lightning writes hpc_ckpt_*.ckpt into the run's folder and queues the job anew,
# which goes on there from its newest checkpoint. Without one, as after a node's early failure, it begins anew.
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00
#SBATCH --signal=SIGUSR1@90
run=runs/slurm-$SLURM_JOB_ID
newest=$(ls -t "$run"/hpc_ckpt_*.ckpt "$run/checkpoints/last.ckpt" 2>/dev/null | head -n 1)
if [ -n "$newest" ]; then
    set -- "$@" --ckpt_path "$newest"
else
    rm -rf "$run" # else the fit takes it for another run's, and a folder that is not looked into here
fi
srun python main.py fit "$@" --run_dir "$run" --trainer.devices 4
