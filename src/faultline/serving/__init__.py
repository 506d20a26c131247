"""The HTTP service for pictures: predictors of `infer` behind the gate, and a page to try them."""
