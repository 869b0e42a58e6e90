# Sourced by scripts that call the compiler on the library without SwiftPM: builds the library, and sets
#   products  the folder of the built modules
#   maps      the options with which the compiler finds modules in C
flags=(-Xcc -O2) # as in the Makefile, so that the build of `make test` is used
swift build "${flags[@]}" --target Sextant
products=$(swift build "${flags[@]}" --show-bin-path)
maps=()
for folder in Sources/C*; do
  for map in "$products/${folder#Sources/}.build" "$folder" "$folder/include"; do
    [ -f "$map/module.modulemap" ] || continue
    maps+=(-Xcc "-fmodule-map-file=$map/module.modulemap" -Xcc "-I$folder/include")
    break
  done
done
