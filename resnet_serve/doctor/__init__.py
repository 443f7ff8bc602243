"""`resnet-serve doctor`.

`examination` looks at this host, `diagnosis` holds the findings and prints them.
"""
