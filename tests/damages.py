"""What can happen to a file: each takes its bytes and gives others."""

DAMAGES = {
    "half": lambda data: data[: len(data) // 2],
    "empty": lambda data: b"",
    "one byte": lambda data: data[:-3] + bytes([data[-3] ^ 1]) + data[-2:],
}
