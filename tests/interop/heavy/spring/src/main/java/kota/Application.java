package kota;

import java.util.Map;
import java.util.TreeSet;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.security.core.Authentication;
import org.springframework.security.core.GrantedAuthority;
import org.springframework.security.oauth2.core.oidc.user.OidcUser;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.RestController;

/**
 * A Spring Boot application with Spring's own security. The settings decide whether it is a resource server, which needs
 * an access token with every request, or a client, which signs people in.
 */
@SpringBootApplication
@RestController
public class Application {

    public static void main(String[] arguments) {
        SpringApplication.run(Application.class, arguments);
    }

    @GetMapping({"/me", "/operator"})
    Map<String, Object> me(Authentication who) {
        var authorities = new TreeSet<String>();
        who.getAuthorities().stream().map(GrantedAuthority::getAuthority).forEach(authorities::add);
        String name = who.getPrincipal() instanceof OidcUser person ? person.getFullName() : who.getName();
        return Map.of("name", name, "authorities", authorities);
    }
}
