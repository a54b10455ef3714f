"""An ended recording -> one Parquet file, and back; many small ones -> small files, and one Parquet file beside them.

seal        the way of one file, from its lines to its sealed file's name; regular reads the lines of our own writer
candidates  which files may be sealed
batch       the way of many small files; small their format, segment that of the file that has the rows of all
shapes      lines that look alike: patterns says which do, begun how their spans began, columns what they say; slices cuts them
groups      puts columns together as row groups; written proves that the file gives them back
exported    answers that were saved as Parquet, back into records
sealed      the file's format; typed its columns for documented and frequent keys, rest what they leave out
"""
