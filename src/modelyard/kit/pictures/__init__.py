"""Pictures, for families that read them.

pixels     bytes to pixels, and figures of a picture: Pillow and numpy only
answering  what a host does with the picture of a request
drawing    pixels and pictures as data URLs
simulated  clouds, and pictures that are darker and noisier
layers     parts of convolutional networks; imports torch
changes    pictures changed at random; imports torch
sides      how large the square is that a model sees
parts      which annotated pictures train, tune and judge
"""
