"""Models that differ by an adapter, side by side on one base: each request is read by its own, and by nobody else.

Knows rows. Does not know what the adapters are: soups, specialists, one policy.
"""

import torch
from torch import Tensor
from transformers import Cache

from experts.bank import ExpertBank
from experts.rows import Reading, Rows


class SideBySide(ExpertBank):
    """Adapters of which each request asks for one.

    The base is not read: in the readings that one takes its place, so that under the rule `anchored` it speaks whatever
    its weight is, and a cap bounds nothing. Half the rows of an `ExpertBank`, which is what a merged model costs.
    """

    def rows(self, asked: Tensor) -> Rows:
        """Gives the row of each request.

        Args:
            asked: (B, K), positive for one of them.

        Raises:
            ValueError: If a request asks for none of them or for several.
        """
        counts = (asked > 0).sum(dim=-1)  # (B,)
        if bool((counts != 1).any()):
            raise ValueError(f"every request must ask for one model, got {counts.tolist()} of {', '.join(self.names)}")
        experts, requests = (asked > 0).t().nonzero(as_tuple=True)  # expert-major
        return Rows(requests, experts)

    def read(
        self, input_ids: Tensor, attention_mask: Tensor, rows: Rows, cache: Cache | None = None, logits_to_keep: int = 0
    ) -> Reading:
        """Reads each request by its model; arguments as in `ExpertBank.read`, the result with no other reader in it."""
        texts, masks = input_ids[rows.requests], attention_mask[rows.requests]
        said = self.forward_rows(texts, masks, rows.experts, cache, hidden=True, logits_to_keep=logits_to_keep)
        assert said.hidden is not None  # asked for
        places = torch.argsort(rows.requests)  # (B,)
        logits = said.logits[places]  # (B, T', V)
        everybody = logits.unsqueeze(2).expand(-1, -1, len(self.names), -1)  # (B, T', K, V)
        return Reading(logits, everybody, said.hidden[places], cache)
