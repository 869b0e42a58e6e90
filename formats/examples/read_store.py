"""Prints the tensors of a Sextant model (.sxt) and checks every digest. Needs Python only.

    python3 read_store.py MODEL.sxt
"""
import hashlib, json, mmap, struct, sys

def sha256(data):
    return hashlib.sha256(data).hexdigest()

def canonical(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

def align(count):
    return (count + 63) // 64 * 64

with open(sys.argv[1], "rb") as file:
    data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
magic, version, mark, header_length, length = struct.unpack_from("<8sIIQQ", data, 0)
assert magic == b"SEXTANT\0" and mark == 0x01020304, "not a Sextant model"
assert version == 1 and length == len(data), "another version, or cut off"
end, digest, end_length, reserved = struct.unpack_from("<8s32sQ16s", data, length - 64)
assert end == b"SXTEND\0\0" and end_length == length and not any(reserved), "no footer"
start = position = align(32 + header_length)
assert sha256(data[:start]) == digest.hex(), "header digest"
text = bytes(data[32:32 + header_length])
header = json.loads(text)
assert canonical(header) == text and not any(data[32 + header_length:start])
assert header["format"] == "sextant-model" and header["version"] == 1
assert header["requires"] == [] and header["layout"] == "row-major", "needs a newer reader"
rows = []
for entry in header["tensors"] + header["attachments"]:
    assert entry["offset"] == position, entry["name"]
    stop = position + entry["bytes"]
    assert sha256(data[position:stop]) == entry["sha256"], entry["name"]
    position = align(stop)
    assert not any(data[stop:position]), "padding"
    print(entry.get("dtype", "file"), entry.get("shape", ""), entry["bytes"], entry["name"])
    if "dtype" in entry:
        source = entry.get("source_dtype", entry["dtype"])
        source_digest = entry.get("source_sha256", entry["sha256"])
        rows.append([entry["name"], source, entry["shape"], source_digest])
assert position == length - 64, "bytes that belong to nothing"
model = {key: header[key] for key in ("architecture", "configuration")}
assert sha256(canonical(model | {"tensors": rows})) == header["identity"], "identity"
print(header["architecture"], header["weights"], "identity", header["identity"])
