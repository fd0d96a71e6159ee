"""Fine-tuning with torch, transformers and peft, which are imported nowhere else but here and in `conversion`.

Everything shown to the model comes from `prompts`, `blocks` and `summarize`, as in inference.
"""

import os

# On Intel CPUs, MKL's products differ in their last bits with where a matrix lies in memory, so that a run that was
# continued would not be the run that was not stopped. MKL reads this at its first product, not when torch is imported.
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")
