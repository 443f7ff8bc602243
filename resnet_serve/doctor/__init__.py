"""`resnet-serve doctor`.

`examination` checks this host, `diagnosis` holds the findings and prints them.
"""
