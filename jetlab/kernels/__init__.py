"""Hot operations, one file each: a plain reference and the fast path, compared by the tests. No physics names here."""
