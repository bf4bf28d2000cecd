"""Objects in pictures and the boxes around them, for families that find them.

scenes     what an annotated picture is here, and which files of a folder are which
coco voc yolo labelme cvat listed   the formats; coco's entries are read for outlines too
reading    which format a folder has
annotated  a scene's boxes on its picture as it is shown
geometry   boxes turned, moved, clipped, compared, thinned out: numpy only
precision  average precision of boxes and masks by pycocotools, and on bootstrap samples
report     what the card shows of it
answering  what a host answers: a request, its objects, a row for drift
"""
