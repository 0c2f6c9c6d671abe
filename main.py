"""Train, test and use video classifiers: ``python main.py {fit,validate,test,predict} --config ...``."""

import os
import warnings

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

from lightning_modules.cli import RSTGCLI  # noqa: E402 (after the filters, which importing it needs)

if __name__ == "__main__":
    RSTGCLI()
