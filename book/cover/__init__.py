"""The pictures of the front door, drawn at build time: ``python -m book.cover FOLDER``.

What four trainings of one network say of one photograph, a picture each: the figure that opens
the book, without its frame. ``card.png`` joins them for those who share a link to the book. The
name of each file stands in `_config.yml`, beside its caption in each language.
"""
