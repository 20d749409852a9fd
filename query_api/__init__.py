"""How it is asked for: searching, documents, status; never loads Kafka, not even indirectly."""
