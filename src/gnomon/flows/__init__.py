"""What the verbs do: one file per verb, each a function that reads as the sentence one would say."""
