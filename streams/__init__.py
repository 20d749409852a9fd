"""How events move: the only room that knows Kafka; it knows no stage and no engine."""
