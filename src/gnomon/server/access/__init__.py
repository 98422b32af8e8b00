"""Who may do what: API keys, OIDC tokens, limits of rate; each route names the scope it needs."""
