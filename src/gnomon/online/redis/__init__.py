"""The online store on Redis or Valkey: one server, sentinels or a cluster."""
