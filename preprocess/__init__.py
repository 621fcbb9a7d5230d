"""The preprocessing job: JPEG files become TFRecords of quantised DCT coefficients."""
