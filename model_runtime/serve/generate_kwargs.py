"""`generate_kwargs` of `/chat`: what becomes of each argument that `generate` of KAITO 0.3's Transformers (4.41) took.

Either every engine honours it (the fields of `Arguments`), or it changes no answer here and is ignored (`IGNORED`), or it is for the engine
that names it in `generate_arguments`, or it is refused with its name and value. A value that asks for nothing (`NEUTRAL`, and null) is
always taken: the published examples send every argument.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from model_runtime.serve.exchange import shown

MOST = 2**31 - 1
"""What the libraries' integers hold; a larger one would end the loop that generates for everybody."""
TokenId = Annotated[int, Field(ge=0, le=MOST)]
Count = Annotated[int, Field(ge=0, le=MOST)]

_ONE_ROW = "nothing is padded here"
_NEVER_EMPTY = "begins what has no prompt, and a prompt is never empty here"
_SPEED = "changes speed and memory, not the answer"
IGNORED: Mapping[str, str] = {
    "pad_token_id": _ONE_ROW,
    **dict.fromkeys(("bos_token_id", "decoder_start_token_id", "forced_bos_token_id"), _NEVER_EMPTY),
    **dict.fromkeys(("use_cache", "cache_implementation", "low_memory", "num_assistant_tokens"), _SPEED),
    **dict.fromkeys(("num_assistant_tokens_schedule", "prompt_lookup_num_tokens", "max_matching_ngram_size"), _SPEED),
    "remove_invalid_values": "guards against a model whose scores are no numbers",
}
"""Arguments that no answer depends on, and why."""
NEUTRAL: Mapping[str, Any] = {
    **dict.fromkeys(("num_beams", "num_beam_groups", "typical_p", "length_penalty", "encoder_repetition_penalty"), 1),
    **dict.fromkeys(("diversity_penalty", "no_repeat_ngram_size", "encoder_no_repeat_ngram_size"), 0),
    **dict.fromkeys(("epsilon_cutoff", "eta_cutoff", "penalty_alpha"), 0),
    "guidance_scale": 1,
    **dict.fromkeys(("early_stopping", "renormalize_logits", "return_dict_in_generate", "output_logits"), False),
    **dict.fromkeys(("output_scores", "output_attentions", "output_hidden_states"), False),
}
"""Values that ask for nothing. With one beam, `early_stopping` and `length_penalty` ask for nothing whatever they are."""
_OF_BEAMS = {"early_stopping", "length_penalty"}


class Arguments(BaseModel):
    """The arguments that every engine honours, with the defaults that KAITO 0.3 always sent; others are kept beside them."""

    model_config = ConfigDict(extra="allow")

    max_length: Count = Field(200, ge=1)
    """Tokens of prompt and answer together."""
    max_new_tokens: Count | None = Field(None, ge=1)
    """Tokens of the answer; it beats `max_length`."""
    min_length: Count = 0
    min_new_tokens: Count = 0
    do_sample: bool = True
    temperature: float = 1.0
    top_k: int = 10
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    num_return_sequences: Count = Field(1, ge=1)
    eos_token_id: TokenId | list[TokenId] | None = None
    """Ends the answer in place of the model's own end tokens."""
    stop_strings: str | list[str] | None = None

    @model_validator(mode="before")
    @classmethod
    def _null_is_not_given(cls, given: Any) -> Any:
        return {k: v for k, v in given.items() if v is not None} if isinstance(given, dict) else given

    def more(self) -> dict[str, Any]:
        """What not every engine has, and what nobody knows; without what is ignored or asks for nothing."""
        asked = {k: v for k, v in (self.model_extra or {}).items() if k not in IGNORED and not _neutral(k, v)}
        return asked if "num_beams" in asked else {k: v for k, v in asked.items() if k not in _OF_BEAMS}

    def refusal(self, engine: str, taken: frozenset[str]) -> str | None:
        """Why an engine that takes these further arguments cannot do what is asked; None when it can."""
        for name, value in self.more().items():
            if name not in taken:
                return f"generate_kwargs.{name}={shown(value)} cannot be used with this server's engine, {engine}; leave it out"
        if self.num_return_sequences > 1 and "num_beams" in self.more():
            return f"generate_kwargs.num_return_sequences={self.num_return_sequences} cannot be used with num_beams; leave one out"
        return None

    def fields(self, prompt_tokens: int, context: int) -> dict[str, Any]:
        """The same in the words of the OpenAI routes, as both engines have them, for a prompt of so many tokens.

        `max_tokens` may be less than 1: then `max_length` leaves no room. It is never more than the model's context has room for, where
        the prompt leaves any: both limits are upper ones.
        """
        longest = self.max_new_tokens or self.max_length - prompt_tokens
        room = context - prompt_tokens
        told: dict[str, Any] = {
            "max_tokens": min(longest, room) if room > 0 else longest,
            "repetition_penalty": self.repetition_penalty,
            "temperature": 0,
        }
        if self.do_sample:
            told |= {"temperature": self.temperature, "top_k": self.top_k, "top_p": self.top_p, "min_p": self.min_p}
        if self.num_return_sequences > 1:
            told["n"] = self.num_return_sequences
        least = max(self.min_length - prompt_tokens, self.min_new_tokens)
        if least > 0:
            told["min_tokens"] = least
        return told | self._stops()

    def _stops(self) -> dict[str, Any]:
        """`generate` leaves what ended an answer in it; special tokens are no text either way."""
        told: dict[str, Any] = {}
        if self.eos_token_id is not None:
            ids = self.eos_token_id if isinstance(self.eos_token_id, list) else [self.eos_token_id]
            told |= {"stop_token_ids": ids, "ignore_eos": True}
        if self.stop_strings:
            told["stop"] = self.stop_strings
        return told and {**told, "include_stop_str_in_output": True}


def _neutral(name: str, value: Any) -> bool:
    return name in NEUTRAL and bool(value == NEUTRAL[name])
