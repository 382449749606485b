// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.samples;

import com.google.api.services.dataflow.model.DataflowPackage;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Collectors;
import org.apache.beam.runners.dataflow.options.DataflowPipelineOptions;
import org.apache.beam.runners.dataflow.util.PackageUtil.StagedFile;
import org.apache.beam.runners.dataflow.util.Stager;
import org.apache.beam.sdk.options.PipelineOptions;

/**
 * Uploads nothing: what Dataflow's runner makes itself, such as pipeline.pb, it writes into the
 * directory of the system property {@code stager.directory}; of the jars it keeps the names only.
 */
public final class LocalStager implements Stager {

  private final Path directory = Path.of(System.getProperty("stager.directory"));
  private final String location;

  private LocalStager(String location) {
    this.location = location;
  }

  /** Called by Dataflow's runner, which is told of this class by {@code --stagerClass}. */
  public static LocalStager fromOptions(PipelineOptions options) {
    return new LocalStager(options.as(DataflowPipelineOptions.class).getStagingLocation());
  }

  @Override
  public List<DataflowPackage> stageFiles(List<StagedFile> files) {
    return files.stream().map(file -> staged(file.getDestination())).collect(Collectors.toList());
  }

  @Override
  public DataflowPackage stageToFile(byte[] bytes, String name) {
    try {
      Files.write(directory.resolve(name), bytes);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return staged(name);
  }

  private DataflowPackage staged(String name) {
    return new DataflowPackage().setName(name).setLocation(location + "/" + name);
  }
}
