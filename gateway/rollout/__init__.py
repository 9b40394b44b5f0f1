"""What to do about a verdict: modes, the percentage gate, the decision. Pure: same input, same answer."""
