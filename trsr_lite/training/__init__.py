"""Fine-tuning with torch, transformers and peft, which are imported nowhere else but here and in `conversion`.

Everything shown to the model comes from `prompts`, `blocks` and `summarize`, as in inference.
"""
