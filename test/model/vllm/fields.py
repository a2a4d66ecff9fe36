"""The fields of vLLM's two generating routes, of both versions that are tested; where vLLM is installed a test compares them with it."""

from __future__ import annotations

_BOTH = """
    add_special_tokens allowed_token_ids bad_words cache_salt ec_transfer_params echo frequency_penalty ignore_eos
    include_stop_str_in_output kv_transfer_params length_penalty logit_bias logprob_token_ids logprobs max_tokens min_p
    min_tokens mm_payload model n presence_penalty priority prompt_logprobs repetition_detection repetition_penalty
    request_id response_format return_mm_kwargs return_token_ids return_token_offsets return_tokens_as_token_ids
    return_weight_versions routed_experts_prompt_start seed session_id skip_special_tokens spaces_between_special_tokens
    stop stop_token_ids stream stream_interval stream_options structured_outputs temperature thinking_token_budget top_k
    top_p truncate_prompt_tokens truncation_side use_beam_search user vllm_xargs watermarking
"""
CHAT = tuple(
    f"""{_BOTH}
    add_generation_prompt chat_template chat_template_kwargs continue_final_message documents include_reasoning
    max_completion_tokens media_io_kwargs messages mm_processor_kwargs parallel_tool_calls reasoning_effort
    return_prompt_text tool_choice tools top_logprobs
""".split()
)
COMPLETION = tuple(
    f"""{_BOTH}
    prompt prompt_embeds suffix
""".split()
)
