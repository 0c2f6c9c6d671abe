"""Train, test and use video classifiers.

python main.py {fit,validate,test,predict} --config FILE [--config FILE ...] [--argument value ...]

  fit       train; the run's checkpoints, logs and config.yaml go to a folder in runs/
  validate  score a checkpoint on the validation set
  test      score a checkpoint on the test set
  predict   write the probabilities that a checkpoint gives to the test set

  --config FILE            a YAML file of arguments; a later one lies over an earlier one
  --ckpt_path PATH         best, last or a file; with fit: the checkpoint to go on from
  --print_config           show every argument and its value, and stop

python main.py fit --help lists all arguments of fit, and likewise for the others.
"""

import os
import sys
import warnings


def main() -> None:
    """Run the command line."""
    if sys.argv[1:] in (["-h"], ["--help"]):  # without the libraries, which take seconds to import
        print(__doc__)
        return

    # What Lightning says of its own use of other libraries, or of what we do on purpose: nothing for a user to mend.
    os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")
    for message in (
        "`torch.jit.script` is deprecated",
        r"`isinstance\(treespec, LeafSpec\)` is deprecated",
        "You have overridden `on_before_batch_transfer`",  # our checks of values
        "Experiment logs directory",  # the CSV and TensorBoard logs share it
        r"Found \d+ module\(s\) in eval mode",  # a frozen backbone
    ):
        warnings.filterwarnings("ignore", message)

    from lightning_modules.cli import RSTGCLI

    RSTGCLI()


if __name__ == "__main__":
    main()
