print("sextant-hdf5")
