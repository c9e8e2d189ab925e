"""Greedy suppression as plain loops: the oracle of `anymask.masks.measures.nms`, for unit and parity tests."""


def plain_nms(boxes, scores, threshold):
    kept = []
    for candidate in sorted(range(len(boxes)), key=lambda index: -scores[index]):
        for other in kept:
            width = min(boxes[candidate][2], boxes[other][2]) - max(boxes[candidate][0], boxes[other][0])
            height = min(boxes[candidate][3], boxes[other][3]) - max(boxes[candidate][1], boxes[other][1])
            shared = max(width, 0) * max(height, 0)
            areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (boxes[candidate], boxes[other])]
            if shared > 0 and shared / (sum(areas) - shared) > threshold:
                break
        else:
            kept.append(candidate)
    return kept
