"""Methods, scorers and the chain that compares them: which way of personalising an answer is best, and how sure."""

import logging

for _talker in ("torchao", "torch.utils._pytree"):  # transformers imports torchao where it finds it
    logging.getLogger(_talker).setLevel(logging.ERROR)
