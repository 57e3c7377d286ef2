"""`edgefew serve`: one gallery for people in a browser and for other programs; needs the extra `serve`.

The way of a request: `app` → `guard` (hosts, sizes, rates, headers) → `api` or `inference` (who may, what is asked) →
`site` (the one classifier, in a few worker threads).
"""
