"""An ended recording -> one Parquet file, and back.

seal        the way of one file, from its lines to its sealed file's name
shapes      lines that look alike -> columns; groups puts columns together as row groups
sealed      the file's format; typed its columns for documented and frequent keys, rest what they leave out
"""
