"""The account file: YAML in, differences out, applied all or nothing.

files opens it · document reads YAML strictly · reading makes accounts of it ·
references finds the keys · changes compares with what is stored · importing writes.
"""
