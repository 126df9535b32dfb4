"""Chat models that reply to a message: behind an endpoint that speaks as OpenAI's does, or in a folder.

Knows messages and replies. Does not know what is asked for.
"""

import json
import os
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from transformers import AutoModelForCausalLM, AutoTokenizer

PASSING = (408, 429, 500, 502, 503, 504)
"""HTTP statuses after which asking again can help."""


@dataclass(frozen=True)
class ChatModel:
    """Replies to a message.

    Args:
        url: Of the endpoint, up to and without `/chat/completions`.
        name: As the endpoint calls the model.
        key: Sent as the bearer's token; None sends none.
        attempts: How often one message is sent before it is given up.
        patience: Seconds before the second attempt; doubled before each further one.
    """

    url: str
    name: str
    key: str | None = field(default=None, repr=False)
    attempts: int = 5
    patience: float = 1.0

    def reply(self, message: str) -> str:
        """The reply, as likely as can be, after as many attempts as it takes.

        Raises:
            ValueError: If the endpoint refuses, stays away or replies with something else than a chat completion.
        """
        body = {"model": self.name, "temperature": 0, "messages": [{"role": "user", "content": message}]}
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {self.key}"} if self.key else {})
        request = Request(f"{self.url.rstrip('/')}/chat/completions", json.dumps(body).encode(), headers)
        problem = "no attempt"
        for attempt in range(self.attempts):
            if attempt:
                time.sleep(self.patience * 2 ** (attempt - 1))
            try:
                with urlopen(request, timeout=120) as reply:
                    return str(json.load(reply)["choices"][0]["message"]["content"])
            except HTTPError as error:
                problem = f"status {error.code}"
                error.close()
                if error.code not in PASSING:
                    break
            except OSError as error:  # nobody there, or gone before the reply
                problem = str(error)
            except (ValueError, KeyError, IndexError, TypeError) as error:
                problem = f"a reply that is no chat completion ({error})"
        raise ValueError(f"the model at {self.url} must reply with a chat completion, got {problem}")


class LocalModel:
    """Replies to a message.

    Args:
        folder_or_id: Of a causal language model with a chat template, in a folder or on the hub.
        max_new_tokens: Longest reply.
    """

    def __init__(self, folder_or_id: str, max_new_tokens: int = 128) -> None:
        """Loads the model."""
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder_or_id)
        self.model: Any = AutoModelForCausalLM.from_pretrained(folder_or_id).eval()
        self.max_new_tokens = max_new_tokens

    def reply(self, message: str) -> str:
        """The reply, as likely as can be at each token."""
        turns = [{"role": "user", "content": message}]
        asked = self.tokenizer.apply_chat_template(
            turns, add_generation_prompt=True, return_dict=True, return_tensors="pt"
        )
        said = self.model.generate(**asked, do_sample=False, max_new_tokens=self.max_new_tokens)
        return str(self.tokenizer.decode(said[0, asked["input_ids"].shape[1] :], skip_special_tokens=True))


def endpoint(url: str, name: str, key: str | None = None) -> ChatModel:
    """The model behind an endpoint.

    Args:
        url: Of the endpoint.
        name: As the endpoint calls the model.
        key: The environment variable that holds the endpoint's key.

    Raises:
        ValueError: If the key's variable is not set.
    """
    if key is not None and key not in os.environ:
        raise ValueError(f"the key must be in an environment variable that is set, got {key}")
    return ChatModel(url, name, None if key is None else os.environ[key])


def chat_model(place: str, name: str | None = None, key: str | None = None) -> ChatModel | LocalModel:
    """The model at a place.

    Args:
        place: The URL of an endpoint, a folder or a hub id.
        name: As the endpoint calls the model.
        key: As of `endpoint`.

    Raises:
        ValueError: If an endpoint is not told which model to ask, or the key's variable is not set.
    """
    if not place.startswith(("http://", "https://")):
        return LocalModel(place)
    if name is None:
        raise ValueError(f"an endpoint must be told which model to ask, got {place} alone")
    return endpoint(place, name, key)
