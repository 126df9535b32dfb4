"""The Preference Control Model as it was published, to compare with.

Knows its own language model's state and which experts are asked for. Blind to what the experts are about to do.
"""

from torch import Tensor, nn

from pcm.controller import Controller
from pcm.model import share_log_weights
from pcm.trunk import OwnModel


class PublishedControlModel(Controller):
    """Gives weights that sum to one, from one output for each expert on a language model of its own (2407.04181).

    Its outputs belong to experts in their order: a new expert needs a new output and new training. The head starts at
    zero, which is the uniform mixture over the asked experts; the paper does not say how it starts, nor that
    what is not asked gets no weight.

    Args:
        experts: their number K.
        trunk: the language model.
    """

    form = "published"
    settings = ("experts",)
    places_matter = True

    def __init__(self, experts: int, trunk: OwnModel) -> None:
        super().__init__(trunk)
        self.experts = experts
        self.head = nn.Linear(trunk.hidden_size, experts)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, hidden: Tensor, behaviour: Tensor, asked: Tensor) -> Tensor:
        """Gives the log-weights of the experts (..., K), -inf where an expert is not asked.

        Args:
            hidden: the trunk's state (..., H).
            behaviour: not used.
            asked: how much each expert is asked for (..., K); only whether it is above zero matters here.

        Raises:
            ValueError: if there is another number of experts.
        """
        if asked.shape[-1] != self.experts:
            raise ValueError(f"the controller has outputs for {self.experts} experts, got {asked.shape[-1]}: train it")
        scores = self.head(hidden.to(self.head.weight.dtype))  # (..., K)
        return share_log_weights(scores, (asked > 0).to(scores.dtype))
