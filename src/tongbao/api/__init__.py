"""Assembly of the REST API: authentication, decoding, routing, errors, lists, the OpenAPI document."""
