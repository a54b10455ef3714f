"""An ended recording -> one Parquet file, and back.

seal        the way of one file, from its lines to its sealed file's name
shapes      lines that look alike: patterns says which do, begun how their spans began, columns what they say; slices cuts them
groups      puts columns together as row groups; written proves that the file gives them back
exported    answers that were saved as Parquet, back into records
sealed      the file's format; typed its columns for documented and frequent keys, rest what they leave out
"""
