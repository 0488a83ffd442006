package kota;

import java.util.Map;
import java.util.TreeSet;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.security.core.Authentication;
import org.springframework.security.core.GrantedAuthority;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.RestController;

/** A resource server with Spring Boot's own security: every request needs an access token. */
@SpringBootApplication
@RestController
public class ResourceServer {

    public static void main(String[] arguments) {
        SpringApplication.run(ResourceServer.class, arguments);
    }

    @GetMapping("/me")
    Map<String, Object> me(Authentication who) {
        var authorities = new TreeSet<String>();
        who.getAuthorities().stream().map(GrantedAuthority::getAuthority).forEach(authorities::add);
        return Map.of("name", who.getName(), "authorities", authorities);
    }
}
