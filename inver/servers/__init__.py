"""The real servers on one machine without Docker: Apache Kafka, OpenSearch and Milvus, started, watched and stopped."""
