"""Where models come from: the Hugging Face hub, and packages that carry one as data."""
