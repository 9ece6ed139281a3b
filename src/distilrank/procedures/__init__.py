"""One paper, one file: settings, stages in the paper's order, the equation as named terms.

Fine-tuning and standard distillation are procedures too. No procedure imports another.
"""
