"""What scenes hold: read `primitives`, `shapes`, then `things` and `creatures`, and `recipes`, which has them all."""
