"""Train, test, use and share video classifiers.

python main.py {fit,validate,test,predict} --config FILE [--config FILE ...] [--argument value ...]
python main.py save-pretrained --ckpt_path FILE --folder FOLDER [--card FILE]
python main.py export {--ckpt_path FILE | --pretrained NAME} --part {clip,step} --format FORMAT --out FILE
python main.py stream {--ckpt_path FILE | --pretrained NAME} --source VIDEO [--out FILE] [--csv FILE]
python main.py check-data --config FILE [--num_workers N]

  fit       train; the run's checkpoints, logs and config.yaml go to a folder in runs/
  validate  score a checkpoint on the validation set
  test      score a checkpoint on the test set
  predict   write the probabilities that a checkpoint gives to videos, the test set by default

  --config FILE            a YAML file of arguments; a later one lies over an earlier one
  --ckpt_path PATH         best, last or a file; with fit: the checkpoint to go on from
  --pretrained NAME        a model that ships with the package, or a folder that save-pretrained wrote
  --print_config           show every argument and its value, and stop

  save-pretrained  write a checkpoint's network as a folder that VideoClassifier.from_pretrained reads
  export           write a checkpoint's network, or its step from frame to frame, for programs without this package:
                   exported_program, onnx or aot_inductor
  stream           classify a video file, a folder of frames, a camera or a network stream, frame by frame
  check-data       decode every video of a data set once, and report all that cannot be used

python main.py fit --help lists all arguments of fit, and likewise for the others.
"""

import os
import sys
import warnings
from importlib import import_module

LIGHTNING_COMMANDS = ("fit", "validate", "test", "predict")
# Each is a function of this name in a file of this name in lightning_modules/commands.
COMMANDS = ("save-pretrained", "export", "stream", "check-data")


def main() -> None:
    """Run the command line."""
    if sys.argv[1:] in (["-h"], ["--help"]):  # without the libraries, which take seconds to import
        print(__doc__)
        return
    command = sys.argv[1] if len(sys.argv) > 1 else ""
    if not command.startswith("-") and command not in (*LIGHTNING_COMMANDS, *COMMANDS):
        sys.exit(f"Expected a command of {', '.join((*LIGHTNING_COMMANDS, *COMMANDS))} (got {command!r}): see --help")

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

    if command in COMMANDS:
        from jsonargparse import ArgumentParser

        name = command.replace("-", "_")
        function = getattr(import_module(f"lightning_modules.commands.{name}"), name)
        parser = ArgumentParser(prog=f"main.py {command}")
        parser.add_function_arguments(function)
        function(**parser.instantiate(parser.parse_args(sys.argv[2:])))
        return

    from lightning_modules.cli import RSTGCLI

    RSTGCLI()


if __name__ == "__main__":
    main()
