"""Who is who: merchants and their test twins, API keys, customers."""
