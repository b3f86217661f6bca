"""The elastic proof: a Ray cluster whose machines come and go, on one; see infra/elastic.sh."""
