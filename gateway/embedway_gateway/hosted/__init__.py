"""Engine `litellm`: the providers that LiteLLM knows, as upstreams."""
