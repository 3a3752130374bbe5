"""Made-up shapes of eight categories: solids, one file a category, and the generator of pairs."""
