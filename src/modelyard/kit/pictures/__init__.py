"""Pictures, for families that read them.

pixels     bytes to pixels, and figures of a picture: Pillow and numpy only
plain      pixels of any depth and colours as 8 bits of gray or RGB
answering  what a host does with the picture of a request
drawing    pixels and pictures as data URLs
simulated  clouds, and pictures that are darker and noisier
layers     parts of convolutional networks; imports torch
changes    pictures changed at random; imports torch
settings   sections of configs
square     what a picture becomes that is padded to a square
parts      which annotated pictures train, tune and judge
data       annotated pictures to arrays
host       answers about pictures that are padded to a square
family     networks of annotated pictures: batches and training; imports torch
"""
