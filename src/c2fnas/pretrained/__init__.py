"""Models that come with c2fnas, each in a folder by its name; their cards state their licences."""
