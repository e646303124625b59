"""What travels over HTTP, as values; both wings share it and neither owns it.

Source for every name: the API2Convert v2 documentation (https://api.api2convert.com/v2/schema).
"""
