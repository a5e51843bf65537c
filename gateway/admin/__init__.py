"""Administration: who may (``auth``), what stands where (``unjudged``), and the API over it (``api``)."""
