"""Tasks: their specification, the sampler that draws them, and pinned task lists."""
